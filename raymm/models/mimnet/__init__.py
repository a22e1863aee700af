"""MIMNet: several interests, each with its own bridge into the target domain."""
