-- SPDX-License-Identifier: MIT
-- Tells what the user may not do that locks need, and whether the server may evict a lock. It
-- touches no key.
--
-- KEYS  1  a lock's key
-- ARGV  1  an inbox's channel   2  nonce
--
-- { 1, nonce, 0, missing, evicts}
--                        missing: 2^(i-1) for each i-th of the commands below that is not allowed;
--                        evicts: 1 if there is a limit of memory, and a policy other than
--                        noeviction
-- { 0, nonce, 0, 0, evicts}  the server cannot tell what is allowed (before Redis 7)
local key, channel, nonce = KEYS[1], ARGV[1], ARGV[2] + 0
local allows = redis.acl_check_cmd
local needed = {
  {'subscribe', channel},
  {'publish', channel, ''},
  {'pubsub', 'numsub', channel},
  {'time'},
  {'zadd', key, '1', 'a'},
  {'zcard', key},
  {'zcount', key, '0', '1'},
  {'zrange', key, '0', '1'},
  {'zrangebyscore', key, '0', '1'},
  {'zrank', key, 'a'},
  {'zrem', key, 'a'},
  {'zremrangebyscore', key, '0', '1'},
  {'zrevrangebyscore', key, '1', '0'},
  {'zscore', key, 'a'},
  {'pexpire', key, '1'},
  {'pttl', key},
}
local missing, bit = 0, 1
for i = 1, allows and #needed or 0 do
  if not allows((unpack or table.unpack)(needed[i])) then
    missing = missing + bit
  end
  bit = bit * 2
end

-- Whoever may not look is told nothing.
local evicts, told = 0, ''
if not allows or allows('info', 'memory') then
  told = redis.pcall('INFO', 'memory')
end
if type(told) == 'string' and string.match(told, 'maxmemory:[1-9]')
    and not string.find(told, 'maxmemory_policy:noeviction', 1, true) then
  evicts = 1
end
return {allows and 1 or 0, nonce, 0, missing, evicts}
