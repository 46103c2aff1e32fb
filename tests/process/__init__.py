"""The real daemon as a process under what processes meet: kills, failing disks and leaping clocks."""
