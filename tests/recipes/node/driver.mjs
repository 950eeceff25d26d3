// Asks a recipe for each line `verify TOKEN` of stdin, as a service would, and answers with one line each.
import { createInterface } from 'node:readline'
import { verify } from './recipe.mjs'

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(`ok ${(await verify(line.split(' ')[1])).sub}`)
  } catch (error) {
    console.log(`refused ${error.code ?? error.message}`)
  }
}
