-- SPDX-License-Identifier: MIT
-- Buried hold ids: an acquire under one of them is refused, however late it comes.
local function hold_id_of(holder) return string.match(holder, '^[^ ]+ ([^ ]+) ') end

-- For `ms` from now; an id that is buried for longer stays so. Where nothing is there yet, a fence
-- is. The caller has written before, for a server out of memory refuses ZADD only as the first
-- write of a script.
local function bury(holder, ms)
  if not ms or ms == 0 then return end
  if call('ZCARD', key) == 0 then call('ZADD', key, at_fence(now_us), 'f1') end
  local hold_id = hold_id_of(holder)
  if call('ZCOUNT', key, '(-NOTE_BAND', '(0') >= BURIED_MOST
      and not call('ZSCORE', key, hold_id) then
    local last = decimal(call('ZCOUNT', key, '-inf', '(0') - 1)
    call('ZREM', key, call('ZRANGE', key, last, last)[1])
  end
  call('ZADD', key, 'LT', '-' .. decimal(now_ms + ms), hold_id)
  expire(ms)
end

-- Nobody holds it and nobody waits: the key lingers for its fence, and for what is buried there.
local function let_linger()
  local last = call('ZRANGEBYSCORE', key, '(-NOTE_BAND', '(0', 'WITHSCORES', 'LIMIT', '0', '1')
  local ms = math.max(tonumber(linger), last[2] and -last[2] - now_ms or 0)
  if ms == 0 then call('DEL', key) else call('PEXPIRE', key, decimal(ms)) end
end
