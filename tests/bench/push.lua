-- wrk's requests: pushes to one branch, each of a new commit on the one before it, each a new delivery, each signed.
-- wrk ... -s push.lua URL -- HEAD TAIL SECRET: files with the payload's beginning, whose length is a multiple of 64,
-- and its end, in which <before> and <after> stand for commits.
local bit = require("bit")
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local ror, shr, shl, tobit, tohex = bit.ror, bit.rshift, bit.lshift, bit.tobit, bit.tohex

-- SHA-256, FIPS 180-4: constants by their definition, from the first primes.
local K, H = {}, {}
do
  local n, count = 2, 0
  local function fraction(root)
    return tobit(math.floor((root - math.floor(root)) * 2 ^ 32))
  end
  while count < 64 do
    local prime = true
    for d = 2, math.floor(math.sqrt(n)) do
      if n % d == 0 then prime = false break end
    end
    if prime then
      count = count + 1
      K[count] = fraction(n ^ (1 / 3))
      if count <= 8 then H[count] = fraction(math.sqrt(n)) end
    end
    n = n + 1
  end
end

local W = {}
local function compress(state, text, at)
  for i = 1, 16 do
    local a, b, c, d = string.byte(text, at + 4 * i - 4, at + 4 * i - 1)
    W[i] = bor(shl(a, 24), shl(b, 16), shl(c, 8), d)
  end
  for i = 17, 64 do
    local x, y = W[i - 15], W[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), shr(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), shr(y, 10))
    W[i] = tobit(W[i - 16] + s0 + W[i - 7] + s1)
  end
  local a, b, c, d, e, f, g, h = unpack(state)
  for i = 1, 64 do
    local t1 = tobit(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g)) + K[i] + W[i])
    local t2 = tobit(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c)))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
  end
  local new = {a, b, c, d, e, f, g, h}
  for i = 1, 8 do new[i] = tobit(new[i] + state[i]) end
  return new
end

local function absorb(state, text)
  for at = 1, #text - 63, 64 do state = compress(state, text, at) end
  return state
end

local function finish(state, rest, length)
  local zeros = (55 - #rest) % 64
  local size = length * 8
  local tail = rest .. "\128" .. string.rep("\0", zeros) .. string.rep("\0", 4)
    .. string.char(shr(size, 24) % 256, shr(size, 16) % 256, shr(size, 8) % 256, size % 256)
  return absorb(state, tail)
end

local function words(state, form)
  local parts = {}
  for i = 1, 8 do parts[i] = form(state[i]) end
  return table.concat(parts)
end

local function raw(word)
  return string.char(shr(word, 24) % 256, shr(word, 16) % 256, shr(word, 8) % 256, word % 256)
end

local function keyed(secret, byte)
  local key = secret .. string.rep("\0", 64 - #secret)
  return (key:gsub(".", function(c) return string.char(bxor(c:byte(), byte)) end))
end

local head, tail, inner, outer
local count, mark = 0, tostring(os.time()) .. tostring({}):sub(8)

local function read(name)
  local file = io.open(name, "rb")
  local content = file:read("*a")
  file:close()
  return content
end

function init(args)
  head, tail = read(args[1]), read(args[2])
  local secret = args[3]
  inner = absorb(absorb(H, keyed(secret, 0x36)), head)
  outer = absorb(H, keyed(secret, 0x5c))
end

local function commit(number)
  return string.format("%s%032x", mark:sub(-8):gsub("[^0-9a-f]", "0"), number)
end

function request()
  count = count + 1
  local rest = tail:gsub("<before>", commit(count - 1)):gsub("<after>", commit(count))
  local digest = words(finish(inner, rest, 64 + #head + #rest), raw)
  local signature = words(finish(outer, digest, 96), tohex)
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json",
    ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = mark .. "-" .. count,
    ["X-Hub-Signature-256"] = "sha256=" .. signature,
  }, head .. rest)
end

function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.errors.status))
end
