-- ARGV: room, users
-- Returns a record a user, or nothing for those who are not present.

ensure_epoch()
sweep_without_nodes()
finish()
local holdings = {}
for i = 3, #ARGV do
    table.insert(holdings, joined(ARGV[2], ARGV[i]))
end
return call('HMGET', PRESENT, unpack(holdings))
