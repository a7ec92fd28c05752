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
-- { 4, nonce, 0, 0, now us}                      the same owner holds it in the other mode: waiting would never end
-- {-1, nonce, 0, 0, 0}                           an argument is out of range; nothing was done

local call, argv, key, format = redis.call, ARGV, KEYS[1], string.format
local holder, number = argv[1], tonumber
local ttl, grace, nonce = number(argv[2]), number(argv[3]), number(argv[4])
local kind = string.sub(holder or '', 1, 1)
if not (ttl and ttl >= 1 and ttl <= 2592000000 and ttl % 1 == 0
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and (kind == 'x' or kind == 's')) then
  return {-1, nonce or 0, 0, 0, 0}
end
--@include waiter
if not is_waiter then return {-1, nonce, 0, 0, 0} end

--@include now

-- The path that is kept short: nobody but "f" is there, and its fence is in the past. Counts come back
-- cheaply, while members and scores make tables and pass through text; so does a time put together
-- from its digits.
local seconds, micros = time[1], time[2]
if #micros < 6 then micros = string.sub('00000' .. micros, -6) end
local mint = '-' .. seconds .. micros
local members = call('ZCARD', key)
local ends, expiry = now_ms + ttl, ttl + grace
if kind == 's' then ends = ends + 20000000000000 end
if members == 0 or members == 1 and call('ZCOUNT', key, '-inf', mint) == 0 then
  local ends_ms = ends % 1000
  call('ZADD', key, mint, 'f', format('%d%03d', (ends - ends_ms) / 1000, ends_ms), holder)
  call('PEXPIRE', key, format(expiry < 2147483648 and '%d' or '%.0f', expiry))
  return {1, nonce, now_us, ttl, now_us}
end

--@include expiry
--@include holders
local owner = string.match(holder, '^[^ @]*@(%S+) ')
local arrival = kind == 'x' and (seconds + 4000000000) .. micros or seconds .. micros

-- The other one: a stranger has it exclusively, and will for a while.
local score = look()
if low[1] ~= 'f' then return {err = 'WRONGTYPE The key holds a sorted set that is not a lock'} end
if score and score > now_ms and score < 20000000000000 and low[3] ~= holder and not owner then
  if waiter == '' then return {0, nonce, score - now_ms, members - 2, now_us} end
  if members < 65538 and call('ZADD', key, 'NX', arrival, waiter) == 1 then
    return {2, nonce, score - now_ms, members - 1, now_us}
  end
end

--@include handover

local function granted(minted, lease)
  if waiter ~= '' then call('ZREM', key, waiter) end
  return {1, nonce, minted, lease, now_us}
end

-- Was it granted already, by an earlier attempt or by a handover?
local held = number(call('ZSCORE', key, holder) or 0) - (kind == 's' and 20000000000000 or 0)
if held > now_ms then return granted(fence, held - now_ms) end

local function same_owner(member)
  return owner and member and string.match(member, '^[^ @]*@(%S+) ') == owner
end

-- Looks for the owner among the first holders of the other kind.
local function holds_otherwise()
  local from, to = '(' .. decimal(now_ms), '(20000000000000'
  if kind == 'x' then from, to = '(' .. decimal(now_ms + 20000000000000), '(100000000000000' end
  for _, member in ipairs(owner and call('ZRANGEBYSCORE', key, from, to, 'LIMIT', '0', '1000') or {}) do
    if same_owner(member) then return true end
  end
end

local function enter(is_new)
  local minted = is_new and kind == 'x' and math.max(fence + 1, now_us) or fence
  call('ZADD', key, decimal(-minted), 'f', decimal(ends), holder)
  expire(expiry, true)
  return granted(minted, ttl)
end

left = purge() or left
score = look()
local exclusive = score and score < 20000000000000 and count_exclusive() or 0
if exclusive > 0 and kind == 'x' and same_owner(low[3]) then return enter(false) end
if holds_otherwise() then return {4, nonce, 0, 0, now_us} end

local longest = 0
if exclusive == 0 then
  local next_one, refusal
  next_one, longest, refusal = hand_over(waiter)
  if refusal then return refusal end
  if longest > 0 then expire(longest + grace, true) end
  -- Free for us: we are next, or nobody is before us and the holders are of our kind.
  local is_held = count_exclusive() > 0
  if next_one and next_one == waiter then return enter(true) end
  if not is_held and kind == 'x' then
    score = look()
    if not score then return enter(true) end
  elseif not is_held then
    local policy, limit = string.match(holder, '^s(%a?)/?(%d*)')
    local has_room = limit == '' or count_shared() < number(limit)
    local writer = policy ~= '' and first_of('4000000000000000', '+inf')
    if has_room and not writer then return enter(true) end
  end
end

-- Not now: the lease told is that of the holder that ends last.
local last = call('ZREVRANGEBYSCORE', key, '(100000000000000', '(' .. decimal(now_ms), 'WITHSCORES', 'LIMIT', '0', '1')
local lease_left = number(last[2] or 0)
if lease_left >= 20000000000000 then lease_left = lease_left - 20000000000000 end
lease_left = math.max(0, lease_left - now_ms)
local ahead = call('ZCOUNT', key, '-inf', '(100000000000000')
local waiters = call('ZCARD', key) - ahead
if waiter == '' then return {0, nonce, lease_left, waiters, now_us} end
local rank = call('ZRANK', key, waiter)
if not rank then
  if waiters >= 65536 then return {3, nonce, 0, waiters, now_us} end
  call('ZADD', key, arrival, waiter)
  expire(lease_left + grace, true)
  rank = call('ZRANK', key, waiter)
end
return {2, nonce, lease_left, rank - ahead + 1, now_us}
