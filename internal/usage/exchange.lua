-- Writes changed entries of one table, and returns the entries that changed since a version.
--
-- KEYS: state, replicas, table, versions of its entries, times of their last use
-- ARGV: replica, now, lifetime in seconds, start of the observation, epoch known to the
--       replica, epoch to set if there is none, most entries, version already read, and for
--       each entry: name, version known to the replica, value, time of last use
--
-- An entry is written only if its version is the known one, so that the change of another
-- replica is never lost. Nothing is written if the epoch is not the known one, which means
-- that the server has lost its data since.
--
-- The reply is a list of netstrings: 1 or 0 for each entry that was to be written; the epoch,
-- the start of the observation, the latest version, the number of dropped entries and the
-- number of replicas; name, version and value of each entry that was not written because of
-- its version, and then of the entries that changed; and 1 if there are no more of those.
local state, replicas, entries, versions, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local replica, now, lifetime = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local most, cursor = tonumber(ARGV[7]), ARGV[8]
local minute, longestName, longestValue, longestReply = 60000, 512, 2048, 40000

redis.call('ZADD', replicas, now, replica)
redis.call('ZREMRANGEBYSCORE', replicas, '-inf', now - minute)
redis.call('ZREMRANGEBYSCORE', replicas, now + minute, '+inf')
redis.call('HSETNX', state, 'epoch', ARGV[6])
local since = tonumber(redis.call('HGET', state, 'since') or nil)
if not since or since > tonumber(ARGV[4]) then
  redis.call('HSET', state, 'since', ARGV[4])
end

local epoch, written, conflicts = redis.call('HGET', state, 'epoch'), {}, {}
for i = 9, #ARGV, 4 do
  local name = ARGV[i]
  local version = tonumber(redis.call('ZSCORE', versions, name) or 0)
  local ok = epoch == ARGV[5] and version == tonumber(ARGV[i + 1])
  if ok then
    redis.call('HSET', entries, name, ARGV[i + 2])
    redis.call('ZADD', versions, redis.call('HINCRBY', state, 'version', 1), name)
    redis.call('ZADD', seen, ARGV[i + 3], name)
  elseif epoch == ARGV[5] then
    conflicts[#conflicts + 1] = name
  end
  written[#written + 1] = ok and '1' or '0'
end

local excess = math.min(redis.call('ZCARD', seen) - most, 1000)
if excess > 0 then
  for _, name in ipairs(redis.call('ZRANGE', seen, 0, excess - 1)) do
    redis.call('HDEL', entries, name)
    redis.call('ZREM', versions, name)
    redis.call('ZREM', seen, name)
  end
  redis.call('HINCRBY', state, 'forgotten', excess)
end
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, lifetime)
end

local reply, size = {}, 0
local function add(text)
  reply[#reply + 1] = #text .. ':' .. text .. ','
  size = size + #reply[#reply]
end
local function field(name)
  if redis.call('HSTRLEN', state, name) > 64 then
    return ''
  end
  return redis.call('HGET', state, name) or '0'
end
add(table.concat(written))
add(field('epoch'))
add(field('since'))
add(field('version'))
add(field('forgotten'))
add(tostring(redis.call('ZCARD', replicas)))
local function add_entry(name, version)
  local value = ''
  if #name > longestName then
    name = ''
  elseif redis.call('HSTRLEN', entries, name) <= longestValue then
    value = redis.call('HGET', entries, name) or ''
  end
  add(name)
  add(version)
  add(value)
end
for _, name in ipairs(conflicts) do
  add_entry(name, redis.call('ZSCORE', versions, name) or '0')
end
local changed = redis.call('ZRANGEBYSCORE', versions, '(' .. cursor, '9007199254740991', 'WITHSCORES', 'LIMIT', 0, 200)
local complete = #changed < 400
for i = 1, #changed, 2 do
  if size > longestReply then
    complete = false
    break
  end
  add_entry(changed[i], changed[i + 1])
end
add(complete and '1' or '0')
return table.concat(reply)
