-- Begins a node's lease, or renews it.
-- ARGV: node, lease in milliseconds, its label, its connections, epoch and sequence number it has followed to, 1 if it
-- could not reach the store for a while
-- Returns whether the store knew the node.

ensure_epoch()
local name, lease, label, connections = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local epoch, followed = ARGV[6], tonumber(ARGV[7])
local index = call('HGET', NAMES, name)
local known = index and 1 or 0
local serial, ghost = 0, 0
if index then
    local node = cmsgpack.unpack(call('HGET', NODES, index))
    serial, ghost = node[3], node[4]
else
    index = call('HINCRBY', META, 'nodes', 1)
    ghost = tonumber(call('HGET', GHOSTS, name) or 0)
    call('HSET', NAMES, name, index)
end
if lease > meta.lease then
    call('HSET', META, 'lease', lease)
end
local behind = epoch == meta.epoch and meta.sequence - followed or -1
call('HSET', NODES, index, cmsgpack.pack({ lease, name, serial, ghost, label, connections, behind }))
call('ZADD', LEASES, now + lease, index)
if ARGV[8] == '1' then
    miss()
end
finish()
return known
