//! The loop that wakes, plans and executes: operations, the deployment step machine, health checks, healing, collection.
