-- Ends all touches of a user.
-- ARGV: user
-- Returns the changes caused.

ensure_epoch()
local user = ARGV[2]
local record = load(SITE, user)
while #record[5] > 0 do
    drop_touch(record, user, record[5][1])
end
refold(SITE, user, record)
finish()
return changes
