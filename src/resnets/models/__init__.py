"""Networks: `Spec` (the architecture as data), `CATALOG` (specs by name) and `ResNet` (the module of a spec)."""
