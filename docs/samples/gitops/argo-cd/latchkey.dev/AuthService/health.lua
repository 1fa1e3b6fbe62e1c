-- The health of an AuthService of Latchkey, from the conditions that its operator sets.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not processed it yet."}
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
-- An AuthService that the operator cannot read keeps its other conditions.
if holds("Stalled") and conditions.Stalled.reason == "UnreadableResource" then
  return {status = "Degraded", message = conditions.Stalled.message}
end
if holds("Paused") then
  return {status = "Suspended", message = conditions.Paused.message}
end
if holds("Stalled") then
  return {status = "Degraded", message = conditions.Stalled.message}
end
if holds("Ready") and holds("Reconciling") then
  return {status = "Progressing", message = conditions.Reconciling.message}
end
if holds("Ready") then
  return {status = "Healthy", message = conditions.Ready.message}
end
local ready = conditions.Ready or {message = "The operator has not processed it yet."}
if ready.reason == "ScaledToZero" then
  return {status = "Suspended", message = ready.message}
end
return {status = "Progressing", message = ready.message}
