"""The formats that sources come in: known by name, recognised by their first lines, read into columns of fields."""
