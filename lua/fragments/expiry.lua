-- A number as Redis reads it back exactly (tostring keeps 14 digits only).
local function decimal(number) return ('%.0f'):format(number) end

-- The key lives for `ms` more; `others` (waiters that are left) only ever have it live longer.
local function expire(ms, others)
  if not others or call('PTTL', key) < ms then call('PEXPIRE', key, decimal(ms)) end
end
