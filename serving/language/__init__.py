"""What people read, in their language: messages, feature phrases, formats of numbers."""
