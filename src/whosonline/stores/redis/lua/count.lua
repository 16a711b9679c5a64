-- ARGV: room
-- Returns how many users are present there.

ensure_epoch()
sweep_without_nodes()
finish()
return call('ZCARD', ORDER .. ARGV[2])
