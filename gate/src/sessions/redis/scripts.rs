//! What is done in Redis, each as one step.
//!
//! `#!lua` (Redis 7) makes a server judge a script before it runs: one that is a replica by now refuses it (READONLY),
//! and so does a primary without enough replicas (`min-replicas-to-write`, NOREPLICAS). Also for a script that would
//! only look: what such a server knows of sessions may be old. A server whose memory is full takes no new session, but does
//! all else (`allow-oom`).

use redis::Script;

const CREATE: &str = "#!lua
redis.call('HSET', KEYS[1], 'session', ARGV[1], 'user', ARGV[2], 'idle_until', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[5] - ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])
-- Some of those that were not used for long: as many stay as live, however many begin.
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[2], 10)) do
  if redis.call('EXISTS', ARGV[7] .. id) == 0 then redis.call('ZREM', KEYS[2], id) end
end
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[3])
if redis.call('PTTL', KEYS[2]) < ARGV[6] - ARGV[4] then
  redis.call('PEXPIRE', KEYS[2], ARGV[6] - ARGV[4])
end
return 1";

const FIND: &str = "#!lua flags=allow-oom
local found = redis.call('HMGET', KEYS[1], 'session', 'idle_until')
if not found[1] or not found[2] then return false end
local now, until_used = tonumber(ARGV[1]), tonumber(found[2])
if now >= until_used then
  redis.call('DEL', KEYS[1])
  return false
end
local expires = math.floor(cjson.decode(found[1])['expires'] / 1000)
local next = math.min(now + tonumber(ARGV[2]), expires)
if next > until_used then
  until_used = next
  redis.call('HSET', KEYS[1], 'idle_until', string.format('%d', next))
  redis.call('PEXPIRE', KEYS[1], next - now)
end
return {found[1], string.format('%d', until_used)}";

const LIST: &str = "#!lua flags=allow-oom
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local one = redis.call('HMGET', ARGV[1] .. id, 'session', 'idle_until')
  if one[1] and one[2] then
    found[#found + 1] = one[1]
    found[#found + 1] = one[2]
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found";

const DELETE: &str = "#!lua flags=allow-oom
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('HGET', KEYS[1], 'user') ~= ARGV[1] then return 0 end
redis.call('PUBLISH', ARGV[3], ARGV[2])
return redis.call('DEL', KEYS[1])";

#[derive(Clone)]
pub(super) struct Scripts {
    pub(super) create: Script,
    pub(super) find: Script,
    pub(super) list: Script,
    pub(super) delete: Script,
    pub(super) check: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            create: Script::new(CREATE),
            find: Script::new(FIND),
            list: Script::new(LIST),
            delete: Script::new(DELETE),
            check: Script::new("#!lua flags=allow-oom\nreturn 1"),
        }
    }
}
