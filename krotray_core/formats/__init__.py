"""The forms in which VPN programs take a subscription, each made from what a vless:// link says. Pure.

`vless` takes links apart and puts them together; `share`, `clash` and `singbox` write them down for the programs.
"""
