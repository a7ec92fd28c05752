-- Undoes an acquire, whatever came of it.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms      4  nonce
--       5  waiter member, or ""
--
-- { 3, nonce}   left the queue
-- { 1, nonce}   was granted meanwhile, and is released; nobody waited
-- { 2, nonce}   was granted meanwhile, and is handed over
-- { 0, nonce}   neither was there: nothing was done
-- {-1, nonce}   an argument is out of range; nothing was done
--@include leaving
local waiter = argv[5] or ''
local left = waiter ~= '' and waiter ~= 'f' and call('ZREM', key, waiter) or 0
if call('ZREM', key, holder) == 0 then return {3 * left, nonce} end
--@include vacate
