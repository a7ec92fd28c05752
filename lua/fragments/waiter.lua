-- SPDX-License-Identifier: MIT
-- A waiter's member is its claim and channel followed by the very holder that it will become.
local waiter, is_waiter = argv[5] or '', true
if waiter ~= '' then
  local claim, candidate = string.match(waiter, '^([1-9]%d*) [^ ]+ ()')
  is_waiter = claim and tonumber(claim) <= 2592000000 and string.sub(waiter, candidate) == holder
end
