-- Returns the epoch, the sequence number after which no revocation is missing, the time in microseconds, and the revocations,
-- each after its number and its time.

ensure_epoch()
if call('HEXISTS', META, 'sure') == 0 then -- what is there was written by an older version, which remembered nothing
    remember_from_here()
end
finish()
return { meta.epoch, call('HGET', META, 'sure'), text(micros), call('LRANGE', REVOKED, 0, -1) }
