-- The arguments of release and cancel.
local call, argv, key = redis.call, ARGV, KEYS[1]
local holder, linger = argv[1], argv[2]
local grace, nonce = tonumber(argv[3]), tonumber(argv[4])
if not (linger and not linger:find('%D') and linger ~= '' and tonumber(linger) <= 2592000000
    and grace and grace >= 0 and grace <= 2592000000 and grace % 1 == 0
    and nonce and nonce >= -9007199254740991 and nonce <= 9007199254740991
    and holder:find('^x %S+ ')) then
  return {-1, nonce or 0}
end
