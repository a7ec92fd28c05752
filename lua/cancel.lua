-- SPDX-License-Identifier: MIT
-- Undoes an acquire, whatever came of it. Asked again, it serves the line again.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member      2  linger ms      3  grace ms      4  nonce
--       5  mode, as in acquire      6  "<claim ms> <inbox channel>" as in acquire, or ""
--       7  bury the hold id for so many ms; 0 or absent: do not
--
-- { 3, nonce, now us}   left the queue
-- { 1, nonce, now us}   was granted meanwhile, and is released; nobody waited
-- { 2, nonce, now us}   was granted meanwhile, and is handed over
-- { 7, nonce, now us}   as 1, 2, 3 or 0; but more of those who wait are to be served: ask again at
--                       once
-- { 0, nonce, now us}   neither was there
-- {-1, nonce, 0}        an argument is out of range; nothing was done
-- {-2, nonce, now us}   the key has no lock of this layout; nothing was done

--@include leaving
local mode, inbox, burial = argv[5] or '', argv[6] or '', (argv[7] or 0) + 0
if mode == '' then mode = 'x' end
grace = grace + 0
if not (grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0
    and burial >= 0 and burial <= SPAN_MOST and burial % 1 == 0)
    or inbox ~= '' and not string.find(inbox, '^[1-9]%d* [^ ]+$') then
  return {-1, nonce, 0}
end
--@include now
--@include expiry
--@include holders
--@include line
local clock = decimal(now_us)
--@include handover
--@include burial
if not is_layout() then return {-2, nonce, now_us} end
local _, kind = lease_of(holder)
local code = call('ZREM', key, holder)
if inbox ~= '' then
  if call('ZREM', key, inbox .. ' ' .. mode .. ' ' .. holder) == 1 then
    call('ZREM', key, '?' .. hold_id_of(holder))
    if code == 0 then code = 3 end
  end
end
bury(holder, burial)
if members == 0 then return {0, nonce, now_us} end
local expired = purge()
left = code == 1 and (kind == 2 and 's' or 'x') or expired or 's'
--@include vacate
