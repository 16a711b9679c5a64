-- Lets a node's lease run out some time from now.
-- ARGV: node, milliseconds

ensure_epoch()
local index = call('HGET', NAMES, ARGV[2])
if index then
    call('ZADD', LEASES, 'XX', now + ARGV[3], index)
end
finish()
