-- SPDX-License-Identifier: MIT
-- The arguments of upgrade and downgrade, and the answers that they share. Both are compare and
-- set: they are made for the fence that they name, and whatever is done, or refused, mints a new
-- one; so a request that was given up does nothing when it is carried out late.
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, ttl, grace, nonce, named =
  argv[1], argv[2] + 0, argv[3] + 0, argv[4] + 0, argv[5] + 0
local mark = string.sub(holder, 1, 1)
if not (ttl >= 1 and ttl <= SPAN_MOST and ttl % 1 == 0
    and grace >= 0 and grace <= SPAN_MOST and grace % 1 == 0
    and nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST
    and named >= 0 and named <= FENCE_MOST and named % 1 == 0
    and (mark == '-' or mark == '@')) then
  return {-1, nonce, 0}
end
