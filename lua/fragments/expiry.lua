-- SPDX-License-Identifier: MIT
-- A whole number from 0 on, as Redis reads it back exactly: tostring keeps 14 digits only, %d takes
-- no more than 31 bits everywhere, and %.0f is slow.
local function decimal(number)
  if number < 2147483648 then return string.format('%d', number) end
  local end_part = number % 1000000
  return string.format('%d%06d', (number - end_part) / 1000000, end_part)
end

-- The key lives for `ms` more at the least: others may need it for longer.
local function expire(ms)
  if call('PTTL', key) < ms then call('PEXPIRE', key, decimal(ms)) end
end
