-- SPDX-License-Identifier: MIT
-- The arguments of release and cancel. `grace` matters to waiters only, and is not read without them;
-- `linger` goes to PEXPIRE as it came, so it has to be what PEXPIRE reads.
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, linger, grace, nonce = argv[1], argv[2], 0, tonumber(argv[4])
local members = call('ZCARD', key)
if members > 2 then grace = tonumber(argv[3]) end
if not (nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and linger and (linger == '0' or string.find(linger, '^[1-9]%d*$'))
    and (#linger < 10 or tonumber(linger) <= 2592000000)
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and holder and holder ~= 'f') then
  return {-1, nonce or 0}
end
