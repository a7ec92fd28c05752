-- SPDX-License-Identifier: MIT
-- Takes a lock, or joins its queue.
--
-- KEYS  1  the lock's key
-- ARGV  1  holder member: "<mode> <hold id> <who>"
--       2  ttl ms      3  grace ms      4  nonce
--       5  waiter member: "<claim ms> <inbox channel> <holder member>", or "" (do not queue)
--
-- { 1, nonce, fence, lease left ms, now us}      granted, or was already
-- { 2, nonce, lease left ms, position, now us}   queued, or was already
-- { 0, nonce, lease left ms, waiters, now us}    held by another; not queued
-- { 3, nonce, 0, waiters, now us}                the queue is full; not queued
-- { 4, nonce, 0, 0, now us}                      the same owner holds it in the other mode: it would wait for itself
-- {-1, nonce, 0, 0, 0}                           an argument is out of range; nothing was done

local call, argv, key, number = redis.call, ARGV, KEYS[1], tonumber
local holder = argv[1] or ''
local ttl, grace, nonce = number(argv[2]), number(argv[3]), number(argv[4])

-- The first field is nearly always one letter; docs/protocol.md has the rest of its grammar.
local mode, kind, limit, owner = string.sub(holder, 1, 2), 'x', '', nil
if mode == 's ' then
  kind = 's'
elseif mode ~= 'x ' then
  local rest
  kind, rest = string.match(holder, '^([xs])[fw]?([^ ]*) ')
  limit = string.match(rest or '', '^/([1-9]%d*)') or ''
  if limit ~= '' then rest = string.sub(rest, #limit + 2) end
  owner = string.match(rest or '', '^@(.+)$')
  if rest ~= '' and not owner then kind = nil end
end
if not (kind and ttl and ttl >= 1 and ttl <= 2592000000 and ttl % 1 == 0
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991) then
  return {-1, nonce or 0, 0, 0, 0}
end
--@include waiter
if not is_waiter then return {-1, nonce, 0, 0, 0} end

--@include now

-- The path that is kept short: nobody but "f" is there, and its fence is in the past. Counts come back
-- cheaply, while members and scores make tables and pass through text.
local mint, members = '-' .. seconds .. micros, call('ZCARD', key)
local ends, expiry = now_ms + ttl, ttl + grace
if kind == 's' then ends = ends + 20000000000000 end
if members == 0 or members == 1 and call('ZCOUNT', key, '-inf', mint) == 0 then
  local ends_part, format = ends % 1000000, string.format
  call('ZADD', key, mint, 'f', format('%d%06d', (ends - ends_part) / 1000000, ends_part), holder)
  call('PEXPIRE', key, format(expiry < 2147483648 and '%d' or '%.0f', expiry))
  return {1, nonce, now_us, ttl, now_us}
end

--@include expiry

-- The next short one: a reader, and nobody is there but readers.
if kind == 's' then
  local inside = call('ZCOUNT', key, '(' .. decimal(now_ms + 20000000000000), '(100000000000000')
  if inside == members - 1 and (limit == '' or inside < number(limit)) then
    local score = call('ZSCORE', key, 'f')
    if score and call('ZADD', key, 'NX', decimal(ends), holder) == 1 then
      expire(expiry)
      return {1, nonce, -score, ttl, now_us}
    end
  end
end

-- A writer's place in the queue is behind all readers.
local arrival = seconds .. micros
if kind == 'x' and string.sub(arrival, 1, 1) == '1' then
  arrival = '5' .. string.sub(arrival, 2)
elseif kind == 'x' then
  arrival = decimal(now_us + 4000000000000000)
end

-- The last short ones: it is held exclusively, by ourselves or by one stranger, and will be for a while.
local first = call('ZRANGE', key, '1', '1', 'WITHSCORES')
local lease = (first[2] or 0) - now_ms
if lease > 0 and string.match(first[1], '^x[^ ]* [^ ]+ ') then
  if first[1] == holder then
    if waiter ~= '' then call('ZREM', key, waiter) end
    return {1, nonce, -call('ZSCORE', key, 'f'), lease, now_us}
  end
  local is_alone = string.sub(first[1], 2, 2) == ' ' or not string.match(first[1], '^x[^ @]*@')
    or call('ZCOUNT', key, '-inf', '(100000000000000') == 2
  if is_alone and not (owner and string.match(first[1], '^x[^ @]*@([^ ]+) ') == owner) then
    if waiter == '' then return {0, nonce, lease, members - 2, now_us} end
    if members < 65538 then
      local is_last = call('ZADD', key, 'NX', arrival, waiter) == 1 and kind == 'x'
      return {2, nonce, lease, is_last and members - 1 or call('ZRANK', key, waiter) - 1, now_us}
    end
  end
end

--@include holders
--@include handover

if call('ZRANGE', key, '0', '0')[1] ~= 'f' then
  return {err = 'WRONGTYPE The key holds a sorted set that is not a lock'}
end
left = purge() or left

-- Was it granted already, by an earlier attempt or by a handover?
lease = end_of(holder, kind) - now_ms
if lease > 0 then
  if waiter ~= '' then call('ZREM', key, waiter) end
  return {1, nonce, last_fence(), lease, now_us}
end

-- Looks for the owner among the first holders of a band.
local function is_inside(from, to)
  for _, member in ipairs(call('ZRANGEBYSCORE', key, '(' .. decimal(from), to, 'LIMIT', '0', '1000')) do
    if string.match(member, '^[xs][^ @]*@([^ ]+) ') == owner then return true end
  end
end

-- An owner enters beside itself, whoever waits: it would wait for itself.
if owner then
  local writes = is_inside(now_ms, '(20000000000000')
  local reads = is_inside(now_ms + 20000000000000, '(100000000000000')
  if writes and kind == 's' or reads and kind == 'x' then return {4, nonce, 0, 0, now_us} end
  if writes or reads then
    call('ZADD', key, decimal(ends), holder)
    if waiter ~= '' then call('ZREM', key, waiter) end
    expire(expiry)
    return {1, nonce, last_fence(), ttl, now_us}
  end
end

-- Everyone else enters from the queue. Who does not want to wait stands in it for as long as this call.
local ahead = call('ZCOUNT', key, '-inf', '(100000000000000')
local is_tried = waiter == '' and count_exclusive() == 0 and (kind == 's' or count_shared() == 0)
self, self_lease = waiter, ttl
if is_tried then self = '1 - ' .. holder end
if self ~= '' and not call('ZRANK', key, self) and call('ZCARD', key) - ahead < 65536 then
  call('ZADD', key, arrival, self)
end
local longest, refusal = hand_over()
if is_tried and not granted then call('ZREM', key, self) end
if longest > 0 then expire(longest + grace) end
if granted then return {1, nonce, granted, ttl, now_us} end
if refusal then return refusal end

-- Not now. The lease told is that of the holder that ends last; where permits count, of the reader that ends
-- first.
local highest, one = '(100000000000000', {}
if limit ~= '' then
  local lowest = '(' .. decimal(now_ms + 20000000000000)
  one = call('ZRANGEBYSCORE', key, lowest, highest, 'WITHSCORES', 'LIMIT', '0', '1')
end
if not one[2] then
  one = call('ZREVRANGEBYSCORE', key, highest, '(' .. decimal(now_ms), 'WITHSCORES', 'LIMIT', '0', '1')
end
lease = number(one[2] or 0)
if lease >= 20000000000000 then lease = lease - 20000000000000 end
lease = math.max(0, lease - now_ms)
ahead = call('ZCOUNT', key, '-inf', '(100000000000000')
local waiters = call('ZCARD', key) - ahead
if waiter == '' then return {0, nonce, lease, waiters, now_us} end
local rank = call('ZRANK', key, waiter)
if not rank then return {3, nonce, 0, waiters, now_us} end
expire(lease + grace)
return {2, nonce, lease, rank - ahead + 1, now_us}
