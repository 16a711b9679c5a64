-- Logs an entry that changes no status.
-- ARGV: the entry (packed)

ensure_epoch()
log(ARGV[2])
finish()
