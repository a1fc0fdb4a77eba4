"""Edits as values: an `Operation` is what was asked for, `resolve` makes an `Edit` of it, `Editor.apply` applies it."""
