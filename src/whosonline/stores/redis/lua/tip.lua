-- Returns the epoch, the sequence number of the latest entry, the time in microseconds, and for how many milliseconds the epoch
-- has been.

ensure_epoch()
finish()
return { meta.epoch, text(meta.sequence), text(micros), now - meta.began }
