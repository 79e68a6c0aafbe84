"""Reports: one result, several renderings; nothing here computes."""
