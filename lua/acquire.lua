-- SPDX-License-Identifier: MIT
-- Takes a lock, or joins its queue.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member: "<owner> <hold id> <who>"      2  ttl ms      3  grace ms      4  nonce
--       5  mode: "x" or "s", a policy, "/" and a limit; absent: "x"
--       6  "<claim ms> <inbox channel>" to queue; "" or absent: do not
--       7  the arrival that an earlier answer told; 0 or absent: none
--       8  a fence that a new one shall not be below, if that is not far ahead; 0 or absent: none
--
-- { 1, nonce, now us, last fence, kind, lease left ms}
--                        granted, or was already; kind 1 exclusive, 2 shared
-- { 2, nonce, now us, lease left ms, position, claim ms of the one ahead, arrival}
--                        queued, or was already
-- { 0, nonce, now us, lease left ms, waiters}
--                        held by another; not queued
-- { 3, nonce, now us, 0, waiters}
--                        the queue is full; not queued
-- { 4, nonce, now us}    the same owner holds it in the other mode: it would wait for itself;
--                        not queued
-- { 5, nonce, now us, lease left ms}
--                        nobody is subscribed to that channel here; not queued
-- { 6, nonce, now us}    the hold id is buried; nothing was done
-- { 7, nonce, now us}    more of those ahead are to be served: ask again at once
-- {-1, nonce, 0}         an argument is out of range; nothing was done
-- {-2, nonce, now us}    the key has no lock of this layout; nothing was done

local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, ttl, grace, nonce = argv[1], argv[2] + 0, argv[3] + 0, argv[4] + 0
local mode, inbox, told_arrival, hint =
  argv[5] or 'x', argv[6], (argv[7] or 0) + 0, (argv[8] or 0) + 0

-- The mode is nearly always one letter.
if mode == '' then mode = 'x' end
local kind, limit, channel = mode, '', nil
if mode ~= 'x' and mode ~= 's' then
  kind, limit = string.match(mode, '^([xs])[fw]?(.*)$')
  if limit ~= '' then limit = string.match(limit or '', '^/([1-9]%d*)$') end
end
if inbox and inbox ~= '' then
  local claim
  claim, channel = string.match(inbox, '^([1-9]%d*) ([^ ]+)$')
  if not claim or tonumber(claim) > SPAN_MOST then kind = nil end
end
if not (kind and limit and ttl >= 1 and ttl <= SPAN_MOST and ttl % 1 == 0
    and grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0
    and nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST
    and hint >= 0 and hint <= FENCE_MOST and hint % 1 == 0
    and string.find(holder, '^[-@][^ ]* [^ ]+ [^ ]+$')
    and (told_arrival == 0
      or told_arrival >= READER_BAND and told_arrival < WRITER_BAND and told_arrival % 1 == 0)) then
  return {-1, nonce, 0}
end

--@include now

-- The path that is kept short: nobody but "f1" is there, and its fence is in the past.
local members, number = call('ZCARD', key), kind == 'x' and 1 or 2
local ends, expiry = now_ms + ttl, ttl + grace
if number == 2 then ends = ends + SHARED_BAND end
--@include digits
if hint == 0 and members < 2 then
  local mint = '-' .. digits
  if members == 0 or call('ZADD', key, 'XX', 'LT', 'CH', mint, 'f1') == 1 then
    local ends_part, format = ends % 1000000, string.format
    ends = format('%d%06d', (ends - ends_part) / 1000000, ends_part)
    if members == 0 then call('ZADD', key, mint, 'f1', ends, holder)
    else call('ZADD', key, ends, holder) end
    call('PEXPIRE', key, format(expiry < 2147483648 and '%d' or '%.0f', expiry))
    return {1, nonce, now_us, now_us, number, ttl}
  end
end

--@include expiry

-- The next short one: a reader, and nobody is there but readers.
if kind == 's' and members > 1 then
  local inside = call('ZCOUNT', key, '(' .. decimal(now_ms + SHARED_BAND), '(READER_BAND')
  if inside == members - 1 and (limit == '' or inside < tonumber(limit)) then
    local fence = -(call('ZSCORE', key, 'f1') or 0) - FENCE_BAND
    if fence > 0 and call('ZADD', key, 'NX', decimal(ends), holder) == 1 then
      expire(expiry)
      return {1, nonce, now_us, fence, 2, ttl}
    end
  end
end

-- The last short ones: it is held exclusively, by ourselves or by one stranger, and will be for a
-- while.
local waiter = channel and inbox .. ' ' .. mode .. ' ' .. holder
local band, arrival = kind == 'x' and WRITER_BAND or 0,
  math.min(told_arrival > 0 and told_arrival or now_us, now_us)
local two = call('ZRANGE', key, '0', '1', 'WITHSCORES')
local first, lease, is_alone = two[3], (two[4] or 0) - now_ms, false
-- Notes and the buried come before the holders.
local note
if lease < -now_ms then
  local hold_id = string.match(holder, '^[^ ]+ ([^ ]+)')
  note = '?' .. hold_id
  if not call('ZSCORE', key, hold_id) then
    local one = call('ZRANGEBYSCORE', key, '(0', '(SHARED_BAND', 'WITHSCORES', 'LIMIT', '0', '1')
    first, lease = one[1], (one[2] or 0) - now_ms
  end
end
if lease > 0 and lease < SHARED_BAND - now_ms and two[1] == 'f1' then
  if first == holder then
    call('ZREM', key, waiter or '', note or '')
    return {1, nonce, now_us, -two[2] - FENCE_BAND, 1, lease}
  end
  local owner = string.match(first, '^[^ ]* ')
  is_alone = owner == '- '
    or string.sub(holder, 1, #owner) ~= owner and call('ZCOUNT', key, '(0', '(READER_BAND') == 1
  if is_alone and not waiter then
    return {0, nonce, now_us, lease, call('ZCOUNT', key, 'READER_BAND', '+inf')}
  end
  -- The first that waits, if the server says that somebody listens.
  if is_alone and members == 2 and not string.find(channel, '{', 1, true) then
    local told = redis.pcall('PUBSUB', 'NUMSUB', channel)
    if not told.err and tonumber(told[2]) > 0 then
      local score = told_arrival > 0 and decimal(arrival + band)
        or kind == 'x' and digits or time[1] .. micros
      call('ZADD', key, score, waiter)
      return {2, nonce, now_us, lease, 1, 0, arrival}
    end
  end
end

--@include holders
--@include line

-- Where it stands among those that wait for the same kind, and the claim of the one ahead of it.
local function place()
  local rank = call('ZRANK', key, waiter)
  local ahead = call('ZCOUNT', key, '-inf', kind == 'x' and '(WRITER_BAND' or '(READER_BAND')
  if rank == ahead then return 1, 0 end
  local one = read_waiter(call('ZRANGE', key, decimal(rank - 1), decimal(rank - 1))[1])
  return rank - ahead + 1, one and one.claim or 0
end

-- It joins, or keeps its place: what is ahead of the clock comes down to it. Returns the arrival.
local function join()
  if call('ZADD', key, 'NX', decimal(arrival + band), waiter) == 1 then return arrival end
  if note then call('ZREM', key, note) end
  local since = call('ZSCORE', key, waiter) - band
  if since <= now_us then return since end
  call('ZADD', key, decimal(now_us + band), waiter)
  return now_us
end

if is_alone and members < QUEUE_MOST and is_heard(channel) then
  arrival = join()
  local position, ahead = place()
  return {2, nonce, now_us, lease, position, ahead, arrival}
end

local clock = decimal(now_us)
--@include handover
--@include burial

if not is_layout() then return {-2, nonce, now_us} end
left = purge() or left
least_fence = hint
if call('ZSCORE', key, hold_id_of(holder)) then return {6, nonce, now_us} end

-- Was it granted already, by an earlier attempt or by a handover? A replica refuses the write, and
-- does not answer by its own clock for its primary.
lease, number = lease_of(holder)
if lease > 0 then
  drop({{member = waiter or '', hold_id = hold_id_of(holder)}})
  return {1, nonce, now_us, last_fence(), number, lease}
end

-- Looks for the owner among the first holders of a band.
local owner = string.match(holder, '^(@[^ ]+) ')
local function is_inside(from, to)
  for _, member in ipairs(call('ZRANGEBYSCORE', key, '(' .. decimal(from), to,
      'LIMIT', '0', 'PORTION_MOST')) do
    if string.match(member, '^(@[^ ]+) ') == owner then return true end
  end
end

-- An owner enters beside itself, whoever waits: it would wait for itself.
if owner then
  local writes = is_inside(now_ms, '(SHARED_BAND')
  local reads = is_inside(now_ms + SHARED_BAND, '(READER_BAND')
  local is_other = writes and kind == 's' or reads and kind == 'x'
  if waiter and (writes or reads) then drop({{member = waiter, hold_id = hold_id_of(holder)}}) end
  if is_other then return {4, nonce, now_us} end
  if writes or reads then
    call('ZADD', key, decimal(ends), holder)
    expire(expiry)
    return {1, nonce, now_us, last_fence(), kind == 'x' and 1 or 2, ttl}
  end
end

-- When the line is full, its dead give way: those of a part of it, another one each time.
local function has_room()
  local count = call('ZCOUNT', key, 'READER_BAND', '+inf')
  if count < QUEUE_MOST then return true end
  local at = math.max(0, now_us % count - PORTION_MOST)
  for _ = 1, PORTION_MOST, PAGE_SIZE_MOST do
    at = at + #living(call('ZRANGEBYSCORE', key, 'READER_BAND', '+inf',
      'LIMIT', decimal(at), 'PAGE_SIZE_MOST'))
  end
  return call('ZCOUNT', key, 'READER_BAND', '+inf') < QUEUE_MOST
end

-- Everyone else enters from the queue. Who does not want to wait stands in it, as the last of its
-- kind, for as long as this call.
local is_tried = not waiter and count_exclusive() == 0 and (kind == 's' or count_shared() == 0)
local is_full = false
if is_tried then
  local highest, lowest = '+inf', 'WRITER_BAND'
  if kind == 's' then highest, lowest = '(WRITER_BAND', 'READER_BAND' end
  local last = call('ZREVRANGEBYSCORE', key, highest, lowest, 'WITHSCORES', 'LIMIT', '0', '1')
  waiter, arrival = '1 - ' .. mode .. ' ' .. holder, math.max(now_us, (last[2] or 0) - band + 1)
end
if waiter then
  self, self_lease = waiter, ttl
  if call('ZRANK', key, waiter) then call('ZREM', key, '?' .. hold_id_of(holder))
  else is_full = not is_tried and not has_room() end
  if not is_full then arrival = join() end
end
hand_over()
if is_tried and not granted then
  call('ZREM', key, waiter)
  waiter = false
end
if longest > 0 then expire(longest + grace) end
if granted then return {1, nonce, now_us, granted, kind == 'x' and 1 or 2, ttl} end
if refusal then return refusal end
if more then return {7, nonce, now_us} end
if is_full then return {3, nonce, now_us, 0, call('ZCOUNT', key, 'READER_BAND', '+inf')} end

-- Not now. The lease told is that of the holder that ends last; where permits count, of the reader
-- that ends first; and never more than the time for which somebody may still bar others.
local highest, one = '(READER_BAND', {}
if limit ~= '' and kind == 's' then
  local lowest = '(' .. decimal(now_ms + SHARED_BAND)
  one = call('ZRANGEBYSCORE', key, lowest, highest, 'WITHSCORES', 'LIMIT', '0', '1')
end
if not one[2] then
  one = call('ZREVRANGEBYSCORE', key, highest, '(' .. decimal(now_ms),
    'WITHSCORES', 'LIMIT', '0', '1')
end
lease = tonumber(one[2] or 0)
if lease >= SHARED_BAND then lease = lease - SHARED_BAND end
lease = math.max(0, lease - now_ms)
if lease > 0 then expire(lease + grace) end
if barred_until then lease = math.min(lease, barred_until - now_ms) end
if not waiter then return {0, nonce, now_us, lease, call('ZCOUNT', key, 'READER_BAND', '+inf')} end
if not is_heard(channel) then
  call('ZREM', key, waiter)
  return {5, nonce, now_us, lease}
end
local position, ahead = place()
return {2, nonce, now_us, lease, position, ahead, arrival}
