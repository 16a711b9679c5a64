-- Counts a user as online for a while.
-- ARGV: user, name key, name, session, milliseconds
-- Returns the changes caused.

ensure_epoch()
sweep_without_nodes()
changes = {} -- who ends there is no doing of this touch
local user, key, name, session, ttl = unpack(ARGV, 2)
local record = load(SITE, user)
put(record[5], session, now + ttl)
call('ZADD', TOUCHES, now + ttl, joined(user, session))
refold(SITE, user, record, key, name)
finish()
return changes
