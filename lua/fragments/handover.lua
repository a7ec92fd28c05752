-- SPDX-License-Identifier: MIT
-- Who is next, by the policies of docs/protocol.md. The caller may set what kind of holder left last, whether
-- a batch of readers is being let in already, and itself: a waiter that is granted by the answer.
local left, batch, self, self_lease = 'x', false, nil, 0
local fence, granted
local now = seconds .. micros

local function first_of(from, to, count)
  return call('ZRANGEBYSCORE', key, from, to, 'LIMIT', '0', count)
end

local function first_writer()
  return first_of('4000000000000000', '+inf', '1')[1]
end

-- A waiter's policy ("", "f" or "w") and limit ("" or the number of permits).
local function terms(waiter)
  local policy, limit = string.match(waiter, '^%d+ [^ ]+ [xs]([fw]?)/?(%d*)')
  return policy or '', limit or ''
end

-- Nobody holds the lock, and both wait: it is the writer's policy that counts. Fair: after a batch of readers a
-- writer; after a writer whoever came first, so that nobody sits out more than two batches.
local function reader_goes_first(reader, writer)
  local policy = terms(writer)
  if policy ~= 'f' or left ~= 'x' then return policy == '' end
  return tonumber(call('ZSCORE', key, reader)) < tonumber(call('ZSCORE', key, writer)) - 4000000000000000
end

-- The answers are true, false, and nil if it is the waiting writer alone that bars the reader.
local function reader_may_join(reader, writer, readers_inside)
  local policy, limit = terms(reader)
  if limit ~= '' and readers_inside >= tonumber(limit) then return false end
  return not writer or readers_inside == 0 or batch or policy == '' or nil
end

-- Does nobody listen for this waiter? False also when the server does not say (ACL).
local function is_dead(waiter)
  local told = redis.pcall('PUBSUB', 'NUMSUB', (string.match(waiter, '^%d+ ([^ ]+)')))
  return not told.err and tonumber(told[2]) == 0
end

-- Receivers of the message, or nil and the refusal when PUBLISH itself is refused (ACL). A write comes first, if only
-- of nothing: a server that refuses writes does so before anybody is told.
local has_written = false
local function tell(channel, hold_id, mint, claim)
  if not has_written then call('ZREM', key, '') end
  has_written = true
  local heard = redis.pcall('PUBLISH', channel, 'grant ' .. hold_id .. ' ' .. mint .. ' ' .. claim .. ' ' .. now)
  if type(heard) == 'number' then return heard end
  return nil, {err = 'NOPERM The next waiter cannot be told: ' .. heard.err}
end

-- Makes a holder of the waiter, if it still listens. The waiter is taken out before the holder is added, for a
-- server out of memory refuses ZADD only as the first write of a script. Who enters a free lock has a new
-- fence; who enters beside others has theirs. Returns the lease, 0 for a dead waiter (it is dropped), or nil
-- and the refusal.
local function admit(waiter, is_free)
  local claim, channel, at, kind, hold_id =
    string.match(waiter, '^([1-9]%d*) ([^ ]+) ()([xs])[^ ]* ([^ ]+) ')
  local lease, heard, refusal = tonumber(claim or 0), 1, nil
  if lease < 1 or lease > 2592000000 then return 0, nil, call('ZREM', key, waiter) end
  local minted = is_free and math.max(fence + 1, now_us) or fence
  local mint = minted == now_us and now or decimal(minted)
  if waiter == self then
    lease, granted = self_lease, minted
  else
    heard, refusal = tell(channel, hold_id, mint, claim)
    if refusal then return nil, refusal end
  end
  call('ZREM', key, waiter)
  if heard == 0 then return 0 end
  fence = minted
  local ends = decimal(now_ms + lease + (kind == 's' and 20000000000000 or 0))
  local holder = string.sub(waiter, at)
  if is_free then call('ZADD', key, '-' .. mint, 'f', ends, holder) else call('ZADD', key, ends, holder) end
  return lease
end

-- Lets in whoever may enter: one writer, or readers one after the other; at most 1000, the dead ones counted.
-- Returns the longest lease that it gave, 0 for none, and a refusal.
local function hand_over()
  if count_exclusive() > 0 then return 0 end
  local inside, longest, readers, at = count_shared(), 0, {}, 1
  local writer = first_writer()
  fence = last_fence()
  for _ = 1, 1000 do
    if not readers[at] then readers, at = first_of('100000000000000', '(4000000000000000', '100'), 1 end
    local reader, is_free, next_one = readers[at], inside == 0, nil
    local may_join = reader and reader_may_join(reader, writer, inside)
    if is_free and writer and not (reader and reader_goes_first(reader, writer)) then
      next_one = writer
    elseif may_join then
      next_one, at = reader, at + 1
    elseif not reader or may_join == false or writer == self or not is_dead(writer) then
      return longest
    end
    local lease, refusal = 0, nil
    if next_one then lease, refusal = admit(next_one, is_free) else call('ZREM', key, writer) end
    if refusal then return longest, refusal end
    longest = math.max(longest, lease)
    if next_one and next_one ~= writer then
      if lease > 0 then batch, inside = batch or is_free, inside + 1 end
    elseif lease > 0 then
      return longest
    else
      writer = first_writer()
    end
  end
  return longest
end
