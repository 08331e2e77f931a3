"""One module a forge: how it signs and words its deliveries. Each module is a `service.ports.Decoder`."""
