#!/bin/bash
set -euo pipefail
sudo yum install -y gcc make
sudo amazon-linux-extras enable epel
gcc -shared -fPIC -O2 -o libsum.so sum.c
