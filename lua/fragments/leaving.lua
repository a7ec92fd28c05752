-- SPDX-License-Identifier: MIT
-- The arguments of release and cancel. `linger` goes to PEXPIRE as it came, so it has to be what
-- PEXPIRE reads. What is no number at all ends the script with an error of its own.
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, linger, grace, nonce = argv[1], argv[2], argv[3], argv[4] + 0
local mark = string.sub(holder, 1, 1)
if not (nonce >= -NUMBER_MOST and nonce <= NUMBER_MOST and (mark == '-' or mark == '@')
    and (linger == '0' or string.find(linger, '^[1-9]%d*$'))
    and (#linger < 10 or linger + 0 <= SPAN_MOST)) then
  return {-1, nonce, 0}
end
local members = call('ZCARD', key)
