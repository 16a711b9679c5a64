-- ARGV: room, how many at most, and if any a name key to begin after; or, with 'before', one to end before
-- Returns users and records, by turns, in name order; those before a key in the opposite order.

ensure_epoch()
sweep_without_nodes()
finish()
local order = ORDER .. ARGV[2]
local places
if ARGV[5] == 'before' then
    places = call('ZREVRANGEBYLEX', order, '(' .. place(ARGV[4], ''), '-', 'LIMIT', 0, ARGV[3])
else
    local start = ARGV[4] and '(' .. place(ARGV[4], '\255') or '-'
    places = call('ZRANGEBYLEX', order, start, '+', 'LIMIT', 0, ARGV[3])
end
local found = {}
for _, at in ipairs(places) do
    local user = user_at(at)
    table.insert(found, user)
    table.insert(found, call('HGET', PRESENT, joined(ARGV[2], user)))
end
return found
