-- What every script begins with: the keys, the store's clock, its epoch, and the fold.
--
-- KEYS: of one partition, as keys.py lists them. The last two are beginnings of names: one key a room, one key a node.
-- ARGV[1]: log entries to keep. What else a script takes stands at its top.
--
-- A script that writes begins with ensure_epoch() and ends with finish(). One that fails is not undone, so nothing
-- here may fail once it has written; a full Redis refuses the first write already.
--
-- A node has a number for as long as it is known. When its lease has run out it is dying: sweeps take its users from
-- it, some at a time. When an epoch begins every node becomes a ghost: known under that number no more, its users
-- held for a lease still. Under its new number it tells everything anew, which takes each user over from the ghost.

local META, LOG, PRESENT, NAMES, GHOSTS, NODES, LEASES, DYING, TOUCHES, REVOKED, ORDER, HOLDS = unpack(KEYS)
local LOG_LENGTH = ARGV[1]
local SITE = 'site'
local OFFLINE, ONLINE = 0, 2 -- away is 1: the fold of several is the greatest
local EPOCH, CHANGE, MISSED = 0, 1, 6

local call = redis.call
local time = call('TIME')
local micros = time[1] * 1000000 + time[2] -- since 1970
local now = math.floor(micros / 1000) -- milliseconds
local changes = {}

local fields = call('HMGET', META, 'run', 'epoch', 'sequence', 'began', 'lease', 'swept', 'amnesty', 'more')
local meta = {
    run = fields[1],
    epoch = fields[2],
    sequence = tonumber(fields[3] or 0),
    began = tonumber(fields[4] or 0),
    lease = tonumber(fields[5] or 0), -- the longest of any node
    swept = tonumber(fields[6] or 0),
    amnesty = tonumber(fields[7] or 0),
    more = fields[8] == '1', -- whether the latest sweep left something to do
}
local logged = meta.sequence

local function text(number)
    return string.format('%.0f', number)
end

-- The log. An id is a sequence number, by which a reader sees that it missed something, and the time in microseconds,
-- by which what several partitions logged can be put in order.

local function id_of_latest()
    return text(meta.sequence) .. '-' .. text(micros)
end

local function log(entry)
    meta.sequence = meta.sequence + 1
    call('XADD', LOG, 'MAXLEN', '~', LOG_LENGTH, id_of_latest(), 'e', entry)
end

-- Revocations are remembered beside the log, for nodes that begin later.

local function remember(revocation)
    local length = call('RPUSH', REVOKED, id_of_latest(), revocation)
    while length > 2 * LOG_LENGTH do
        length = length - 2
        call('HSET', META, 'sure', string.match(call('LPOP', REVOKED), '^%d+'))
        call('LPOP', REVOKED)
    end
end

local function remember_from_here()
    call('DEL', REVOKED)
    call('HSET', META, 'sure', text(meta.sequence))
end

-- What a node had to tell, or what its process had, may be missing from the log.
local function miss()
    log(cmsgpack.pack({ MISSED }))
    remember_from_here()
end

local function finish()
    if meta.sequence ~= logged then
        call('HSET', META, 'sequence', text(meta.sequence))
        logged = meta.sequence
    end
end

-- Epochs. A server that was restarted, or took over from another, may have lost the latest writes without knowing it.
-- So each run of a server is an epoch of its own, as is what follows a loss of all data. Numbers begin anew from the
-- clock, beyond all that went before: a reader that waits at an old place gets the first entry, and sees the gap.
-- What is known stays, held by ghosts of the nodes, until every node had the time to tell everything again.

local function begin_epoch(run)
    for _, index in ipairs(call('ZRANGE', LEASES, 0, -1)) do
        call('ZADD', LEASES, now + meta.lease, index)
    end
    local names = call('HGETALL', NAMES)
    for i = 1, #names, 2 do
        call('HSET', GHOSTS, names[i], names[i + 1])
    end
    call('DEL', NAMES)
    meta.run, meta.epoch, meta.began = run, run .. '-' .. text(micros), now
    meta.swept, meta.amnesty = now, now + meta.lease
    meta.sequence = math.max(meta.sequence, micros)
    call('HSET', META, 'run', run, 'epoch', meta.epoch, 'began', now, 'swept', now, 'amnesty', meta.amnesty)
    log(cmsgpack.pack({ EPOCH, meta.epoch }))
    remember_from_here()
    finish()
end

local function run_of_server()
    return string.match(call('INFO', 'server'), 'run_id:(%w+)')
end

local function ensure_epoch()
    local run = run_of_server()
    if meta.run ~= run then
        begin_epoch(run)
    end
end

-- Names of things.

local function joined(first, second)
    return #first .. ':' .. first .. second
end

local function parted(both)
    local length, colon = string.match(both, '^(%d+)():')
    return string.sub(both, colon + 1, colon + length), string.sub(both, colon + length + 1)
end

-- Sorts as (name key, user): no text in UTF-8 holds the byte 255.
local function place(key, user)
    return string.gsub(key, '%z', '\0\255') .. '\0' .. user
end

local function user_at(place)
    local at = string.find(place, '\0', 1, true)
    while string.byte(place, at + 1) == 255 do
        at = string.find(place, '\0', at + 1, true)
    end
    return string.sub(place, at + 1)
end

-- Records of present users: {status, name key, name, {node, status, ...}, {session, end of its touch, ...}}

local function load(room, user)
    local packed = call('HGET', PRESENT, joined(room, user))
    if packed then
        return cmsgpack.unpack(packed)
    end
    return { OFFLINE, '', '', {}, {} }
end

local function put(pairs, key, value)
    for i = 1, #pairs, 2 do
        if pairs[i] == key then
            if value then
                pairs[i + 1] = value
            else
                table.remove(pairs, i)
                table.remove(pairs, i)
            end
            return
        end
    end
    if value then
        table.insert(pairs, key)
        table.insert(pairs, value)
    end
end

local function fold(record)
    if #record[5] > 0 then
        return ONLINE
    end
    local status = OFFLINE
    for i = 2, #record[4], 2 do
        status = math.max(status, record[4][i])
    end
    return status
end

-- Stores a record whose holders or touches were changed; logs the change of the folded status or names, if it is one.
local function refold(room, user, record, key, name)
    local was, was_key, was_name = record[1], record[2], record[3]
    local status = fold(record)
    if was == OFFLINE and status == OFFLINE then
        return
    end
    if status == OFFLINE then
        key, name = was_key, was_name
        call('HDEL', PRESENT, joined(room, user))
    else
        key, name = key or was_key, name or was_name
        record[1], record[2], record[3] = status, key, name
        call('HSET', PRESENT, joined(room, user), cmsgpack.pack(record))
    end
    if was ~= OFFLINE and (status == OFFLINE or key ~= was_key) then
        call('ZREM', ORDER .. room, place(was_key, user))
    end
    if status ~= OFFLINE and (was == OFFLINE or key ~= was_key) then
        call('ZADD', ORDER .. room, 0, place(key, user))
    end
    if status ~= was or key ~= was_key or name ~= was_name then
        local change = cmsgpack.pack({ CHANGE, room, user, status, key, name, micros / 1000000 })
        log(change)
        table.insert(changes, change)
    end
end

-- Touches.

local function drop_touch(record, user, session)
    put(record[5], session, nil)
    call('ZREM', TOUCHES, joined(user, session))
end

local function sweep_touches(limit)
    local due = call('ZRANGEBYSCORE', TOUCHES, '-inf', now, 'LIMIT', 0, limit)
    for _, touch in ipairs(due) do
        local user, session = parted(touch)
        local record = load(SITE, user)
        drop_touch(record, user, session)
        refold(SITE, user, record)
    end
    return #due
end

-- Where no node lives, nobody sweeps: what is due ends before it is read.
local function sweep_without_nodes()
    if call('ZCOUNT', LEASES, now, '+inf') == 0 then
        sweep_touches(100)
    end
end
