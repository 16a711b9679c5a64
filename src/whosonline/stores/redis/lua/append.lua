-- Logs an entry that changes no status.
-- ARGV: the entry (packed), what it revokes if it does (an entry, packed)

ensure_epoch()
log(ARGV[2])
if ARGV[3] then
    remember(ARGV[3])
end
finish()
