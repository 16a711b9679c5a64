-- ARGV: room, how many at most, a name key to begin after, if any
-- Returns users and records, by turns, in name order.

ensure_epoch()
sweep_without_nodes()
finish()
local start = ARGV[4] and '(' .. place(ARGV[4], '\255') or '-'
local found = {}
for _, at in ipairs(call('ZRANGEBYLEX', ORDER .. ARGV[2], start, '+', 'LIMIT', 0, ARGV[3])) do
    local user = user_at(at)
    table.insert(found, user)
    table.insert(found, call('HGET', PRESENT, joined(ARGV[2], user)))
end
return found
