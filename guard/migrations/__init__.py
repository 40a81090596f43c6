"""Alembic's migrations of the store; they run by themselves when a store is opened.

A new schema is a new file in `versions/`, its revision added to `store_schema.REVISIONS`. A
migration that a release has carried is never changed.
"""
