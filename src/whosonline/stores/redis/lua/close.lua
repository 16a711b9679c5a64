-- Lets a node's lease run out some time from now, and notes that it is leaving, and has hung up.
-- ARGV: node, milliseconds

ensure_epoch()
local index = call('HGET', NAMES, ARGV[2])
if index then
    call('ZADD', LEASES, 'XX', now + ARGV[3], index)
    local node = cmsgpack.unpack(call('HGET', NODES, index))
    node[6], node[8] = 0, 1
    call('HSET', NODES, index, cmsgpack.pack(node))
end
finish()
