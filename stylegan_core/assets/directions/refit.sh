#!/bin/sh
# Refit every shipped direction for a generator: refit.sh GENERATOR FACES256_ZIP OUT [PREFIX]
# GENERATOR needs a shipped encoder (inversion.encoder). The last 20 of the London people are held out throughout.
set -eu
generator=$1 data=$2 out=$3 prefix=${4:-faces256}
invertigo=${INVERTIGO:-invertigo}
held=121,122,123,125,126,127,128,130,131,132,134,136,137,138,139,141,142,143,144,173
mkdir -p "$out"
scores=${SCORES:-$out/scores.npz}

boundary() { # name, steps of refinement, directions to keep
    $invertigo directions fit --name "$1" --attribute "$1" --generator "$generator" --data "$data" --exclude "$held" \
        --leave-every 10 --scores "$scores" --refine "$2" --keep "$3" --out "$out/$prefix-$1.npz"
}
measured() { # a landmark measure, or the light
    $invertigo directions fit --name "$1" --attribute "$1" --generator "$generator" --data "$data" --exclude "$held" \
        --leave-every 10 --scores "$scores" --keep "$2" --out "$out/$prefix-$1.npz"
}
named() { # name, words of `condition`, directions to keep
    $invertigo directions fit --name "$1" --condition "$2" --generator "$generator" --data "$data" --exclude "$held" \
        --leave-every 10 --keep "$3" --out "$out/$prefix-$1.npz"
}
factor() { # method, component
    $invertigo directions factor "$1" --name "$1-$2" --component "$2" --generator "$generator" \
        --out "$out/$prefix-$1-$2.npz"
}

$invertigo directions fit --name smile --pairs "$data" --holdout 20 --no-align --scale 2 --judge happy --generator "$generator" \
    --out "$out/$prefix-smile.npz"
for component in 0 1 2; do
    factor sefa "$component"
    factor ganspace "$component"
done
boundary age 0 ""
boundary gender 0 "$out/$prefix-age.npz"
both=$out/$prefix-age.npz,$out/$prefix-gender.npz
for name in happy disgusted neutral; do boundary "$name" 0 "$both"; done
boundary sad 50 "$both"
boundary surprised 30 "$both"
boundary fearful 35 "$both"
boundary angry 40 "$both"
for name in yaw pitch light; do measured "$name" ""; done
named child "baby,toddler,small child" ""
named makeup "heavy makeup,red lipstick,lipstick,strong eyeliner" "$both"
