-- Returns, packed: users in the site, touches, log entries, and a node each
-- {node, milliseconds left of its lease, label, connections, entries it is behind, users it holds, 1 if it is leaving}

ensure_epoch()
finish()
local nodes = {}
local leases = call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
    local node = cmsgpack.unpack(call('HGET', NODES, leases[i]))
    local held = call('SCARD', HOLDS .. leases[i])
    table.insert(nodes, { node[2], leases[i + 1] - now, node[5], node[6], node[7], held, node[8] or 0 })
end
return cmsgpack.pack({ call('ZCARD', ORDER .. SITE), call('ZCARD', TOUCHES), call('XLEN', LOG), nodes })
