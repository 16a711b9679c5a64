-- Takes over a node's view of users.
-- ARGV: node, serial number of this report, its parts: packed {{room, user, status, name key, name, {session, ...}}, ...}
-- Returns the changes caused; nothing if the node is not known.

ensure_epoch()
local index = call('HGET', NAMES, ARGV[2])
if not index then
    finish()
    return false
end
local serial = tonumber(ARGV[3])
local node = cmsgpack.unpack(call('HGET', NODES, index))
-- One that was held up on its way is overtaken by those made after it, and they say all that it says.
if serial <= node[3] then
    finish()
    return changes
end
node[3] = serial
call('HSET', NODES, index, cmsgpack.pack(node))

local holds, ghost = HOLDS .. index, node[4]
index = tonumber(index)
for _, part in ipairs(cmsgpack.unpack(ARGV[4])) do
    local room, user, status, key, name, releases = unpack(part)
    local record = load(room, user)
    for _, session in ipairs(releases) do
        drop_touch(record, user, session)
    end
    if ghost > 0 then
        put(record[4], ghost, nil)
        call('SREM', HOLDS .. ghost, joined(room, user))
    end
    if status == OFFLINE then
        put(record[4], index, nil)
        call('SREM', holds, joined(room, user))
        refold(room, user, record)
    else
        put(record[4], index, status)
        call('SADD', holds, joined(room, user))
        refold(room, user, record, key, name)
    end
end
finish()
return changes
