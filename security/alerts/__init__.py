"""One alert an incident: to the administrators' browsers, by mail, to webhooks."""
