-- Requests for wrk, of one kind: wrk … -s load.lua URL -- KIND GATEWAYS MARK
-- GATEWAYS is a file with one gateway a line: its id, its factory's, its gateway_id. MARK is in all that is created.

local kind, mark, gateways, made, created
local JSON = { ["Content-Type"] = "application/json" }

local function read(path)
  local found = {}
  for line in io.lines(path) do
    local id, factory_id, gateway_id = line:match("^(%S+) (%S+) (%S+)$")
    found[#found + 1] = { id = id, factory_id = factory_id, gateway_id = gateway_id }
  end
  return found
end

local function body(gateway, gateway_id, number)
  return string.format(
    '{"factory_id":"%s","gateway_id":"%s","name":"Dryer north %s","model":"CTC-W3","firmware_version":"2.4.%d",'
      .. '"url":"ws://10.1.%d.%d:5000","email":"plant@example.com","password":"a password of twenty",'
      .. '"metadata":{"line":%d,"rack":"R7"}}',
    gateway.factory_id, gateway_id, gateway_id, number % 9, number / 256 % 256, number % 256, number % 12
  )
end

local kinds = {
  get = function(gateway) return wrk.format("GET", "/api/gateways/" .. gateway.id) end,
  list20 = function() return wrk.format("GET", "/api/gateways?limit=20") end,
  list100 = function() return wrk.format("GET", "/api/gateways?limit=100") end,
  factory20 = function(gateway)
    return wrk.format("GET", "/api/gateways?factory_id=" .. gateway.factory_id .. "&limit=20")
  end,
  put = function(gateway, number)
    return wrk.format("PUT", "/api/gateways/" .. gateway.id, JSON, body(gateway, gateway.gateway_id, number))
  end,
}

function init(args)
  kind, mark = args[1], args[3]
  gateways, made, created = read(args[2]), {}, 0
  math.randomseed(os.time())
  if kind ~= "post" then
    for number, gateway in ipairs(gateways) do made[number] = kinds[kind](gateway, number) end
  end
end

function request()
  if kind ~= "post" then return made[math.random(#made)] end
  created = created + 1
  local gateway = gateways[math.random(#gateways)]
  return wrk.format("POST", "/api/gateways", JSON, body(gateway, mark .. "-" .. created, created))
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format(
    'MEASURED {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed
  ))
end
