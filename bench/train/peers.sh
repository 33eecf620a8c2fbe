#!/bin/sh
# Environments of the peers of bench/train, below the folder $1: TRL (also runs MedicalGPT's script) and ms-swift.
set -eu
mkdir -p "$1" && cd "$1"
python3 -m venv trl
trl/bin/pip install torch==2.13.0
trl/bin/pip install trl==1.16.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 datasets==5.2.0 loguru scikit-learn
python3 -m venv swift
swift/bin/pip install torch==2.13.0
swift/bin/pip install ms-swift==4.6.0
git clone https://github.com/shibing624/MedicalGPT medicalgpt
git -C medicalgpt checkout 2f1008c
