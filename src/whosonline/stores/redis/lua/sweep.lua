-- Ends leases and touches that ran out.
-- ARGV: touches and users of dead nodes to end at most, milliseconds for which one sweep is enough
-- Returns whether there is more, and the changes caused.

local left = tonumber(ARGV[2])
-- A clock that was set back would keep leases for as long as it was set back.
if now < meta.swept - 1000 then
    begin_epoch(run_of_server())
-- Every node sweeps; one of them is enough for a while. Nothing is written, so the epoch does not matter.
elseif meta.epoch and not meta.more and now - meta.swept < tonumber(ARGV[3]) then
    return { 0 }
end
ensure_epoch()
-- Nobody swept for long, so nobody could beat: those who are late are late for that.
if now - meta.swept > meta.lease / 2 then
    meta.amnesty = now + meta.lease
end
call('HSET', META, 'swept', now, 'amnesty', meta.amnesty)
if now < meta.amnesty then
    finish()
    return { 0 }
end

left = left - sweep_touches(left)
for _, index in ipairs(call('ZRANGEBYSCORE', LEASES, '-inf', now)) do
    local node = cmsgpack.unpack(call('HGET', NODES, index))
    for _, known in ipairs({ NAMES, GHOSTS }) do
        if call('HGET', known, node[2]) == index then
            call('HDEL', known, node[2])
        end
    end
    -- One that was cut off, and not only killed, can tell that no more.
    if node[8] ~= 1 and call('HEXISTS', NAMES, node[2]) == 0 then
        miss()
    end
    call('ZREM', LEASES, index)
    call('RPUSH', DYING, index)
end
local dying = call('LINDEX', DYING, 0)
while dying and left > 0 do
    local held = call('SPOP', HOLDS .. dying, left)
    for _, holding in ipairs(held) do
        local room, user = parted(holding)
        local record = load(room, user)
        put(record[4], tonumber(dying), nil)
        refold(room, user, record)
    end
    left = left - #held
    if left > 0 then
        call('HDEL', NODES, dying)
        call('LPOP', DYING)
        dying = call('LINDEX', DYING, 0)
    end
end
local more = dying and true or call('ZCOUNT', TOUCHES, '-inf', now) > 0
if more ~= meta.more then
    call('HSET', META, 'more', more and 1 or 0)
end
finish()
return { more and 1 or 0, unpack(changes) }
