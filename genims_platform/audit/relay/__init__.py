"""The relay: delivers the events of the sources' queues to the audit database, each once, in order, within a second."""
