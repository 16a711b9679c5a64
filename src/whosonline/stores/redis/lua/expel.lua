-- Has every node close a session's connections, and ends the session's touch.
-- ARGV: the log's entry (packed), session, user if it is known
-- Returns the changes caused.

ensure_epoch()
local session, user = ARGV[3], ARGV[4]
if user then
    local record = load(SITE, user)
    drop_touch(record, user, session)
    refold(SITE, user, record)
end
log(ARGV[2])
remember(ARGV[2])
finish()
return changes
